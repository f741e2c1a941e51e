create table "cache" ("key" varchar(255) not null, "value" text not null, "expiration" integer not null);
alter table "cache" add primary key ("key");
create index "cache_expiration_index" on "cache" ("expiration");
