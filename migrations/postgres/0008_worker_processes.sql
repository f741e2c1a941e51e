-- Our own: worker processes that live, each with its description in JSON.
create table "worker_processes" ("id" varchar(255) not null, "beat" text not null, "expires_at" bigint not null, primary key ("id"));
