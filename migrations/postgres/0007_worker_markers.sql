-- Our own: which jobs were moved here from another store, so that repeating the move does not double them.
create table "worker_markers" ("marker" varchar(255) not null, "created_at" bigint not null, primary key ("marker"));
