create table "cache" ("key" varchar not null, "value" text not null, "expiration" integer not null, primary key ("key"));
create index "cache_expiration_index" on "cache" ("expiration");
