create table "cache_locks" ("key" varchar not null, "owner" varchar not null, "expiration" integer not null, primary key ("key"));
create index "cache_locks_expiration_index" on "cache_locks" ("expiration");
