-- Our own: worker processes that live, each with its description in JSON.
create table `worker_processes` (`id` varchar(191) not null, `beat` longtext not null, `expires_at` bigint not null, primary key (`id`)) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin;
