-- Our own: which jobs were moved here from another store, so that repeating the move does not double them.
create table "worker_markers" ("marker" varchar not null, "created_at" integer not null, primary key ("marker"));
