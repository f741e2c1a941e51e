-- Our own: worker processes that live, each with its description in JSON.
create table "worker_processes" ("id" varchar not null, "beat" text not null, "expires_at" integer not null, primary key ("id"));
