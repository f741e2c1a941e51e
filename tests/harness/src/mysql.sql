-- Sent to MariaDB by the migrations that Laravel 8.83 makes for its own tables.
create table `failed_jobs` (`id` bigint unsigned not null auto_increment primary key, `uuid` varchar(255) not null, `connection` text not null, `queue` text not null, `payload` longtext not null, `exception` longtext not null, `failed_at` timestamp default CURRENT_TIMESTAMP not null) default character set utf8mb4 collate 'utf8mb4_unicode_ci';
alter table `failed_jobs` add unique `failed_jobs_uuid_unique`(`uuid`);
create table `jobs` (`id` bigint unsigned not null auto_increment primary key, `queue` varchar(255) not null, `payload` longtext not null, `attempts` tinyint unsigned not null, `reserved_at` int unsigned null, `available_at` int unsigned not null, `created_at` int unsigned not null) default character set utf8mb4 collate 'utf8mb4_unicode_ci';
alter table `jobs` add index `jobs_queue_index`(`queue`);
create table `job_batches` (`id` varchar(255) not null, `name` varchar(255) not null, `total_jobs` int not null, `pending_jobs` int not null, `failed_jobs` int not null, `failed_job_ids` text not null, `options` mediumtext null, `cancelled_at` int null, `created_at` int not null, `finished_at` int null) default character set utf8mb4 collate 'utf8mb4_unicode_ci';
alter table `job_batches` add primary key `job_batches_id_primary`(`id`);
create table `cache` (`key` varchar(255) not null, `value` mediumtext not null, `expiration` int not null) default character set utf8mb4 collate 'utf8mb4_unicode_ci';
alter table `cache` add primary key `cache_key_primary`(`key`);
create table `cache_locks` (`key` varchar(255) not null, `owner` varchar(255) not null, `expiration` int not null) default character set utf8mb4 collate 'utf8mb4_unicode_ci';
alter table `cache_locks` add primary key `cache_locks_key_primary`(`key`);
create table `sessions` (`id` varchar(255) not null, `user_id` bigint unsigned null, `ip_address` varchar(45) null, `user_agent` text null, `payload` text not null, `last_activity` int not null) default character set utf8mb4 collate 'utf8mb4_unicode_ci';
alter table `sessions` add primary key `sessions_id_primary`(`id`);
alter table `sessions` add index `sessions_user_id_index`(`user_id`);
alter table `sessions` add index `sessions_last_activity_index`(`last_activity`);
