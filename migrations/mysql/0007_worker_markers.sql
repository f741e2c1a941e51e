-- Our own: which jobs were moved here from another store, so that repeating the move does not double them.
create table `worker_markers` (`marker` varchar(191) not null, `created_at` bigint not null, primary key (`marker`)) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin;
