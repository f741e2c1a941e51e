create table "cache_locks" ("key" varchar(255) not null, "owner" varchar(255) not null, "expiration" integer not null);
alter table "cache_locks" add primary key ("key");
create index "cache_locks_expiration_index" on "cache_locks" ("expiration");
