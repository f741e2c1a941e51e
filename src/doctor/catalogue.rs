//! Every kind of finding: the one list behind the code and `docs/doctor.md`.

use super::finding::Check;
use super::finding::Severity::{Error, Note, Warning};

macro_rules! checks {
    ($($name:ident $code:literal $($severity:ident)|+, $finds:literal, $why:literal;)*) => {
        $(
            pub(super) static $name: Check = Check {
                code: $code,
                severities: &[$($severity),+],
                finds: $finds,
                why: $why,
            };
        )*

        /// Every kind of finding, in the order in which they are shown.
        pub static CHECKS: &[&Check] = &[$(&$name),*];
    };
}

checks! {
    // Settings.
    CONFIG_INVALID "config.invalid" Error,
        "a setting that is wrong",
        "The worker does not start: exit code 78.";
    CONFIG_SYNC "config.sync" Error,
        "a connection that runs jobs where they are dispatched",
        "There is nothing to consume; the application runs its jobs inside web requests.";
    CONFIG_FAILURES "config.failures" Error | Warning,
        "failed jobs that are recorded nowhere",
        "A job that fails for good is lost but for a line in the log.";
    CONFIG_CACHE_DIFFERS "config.cache-differs" Error,
        "a cached configuration that says something else than is in force here",
        "While bootstrap/cache/config.php is there, Laravel reads neither .env nor the environment: the application \
         pushes to one place and the worker looks in another.";
    CONFIG_CACHE_STALE "config.cache-stale" Warning,
        "a cached configuration that is older than .env or config/*.php",
        "Laravel goes on with the old values, and env() answers null outside of config/*.php.";
    CONFIG_CACHE_UNREAD "config.cache-unread" Note,
        "a cached configuration that cannot be compared",
        "While it is there, Laravel reads neither .env nor the environment.";
    CONFIG_ENV_DIFFERS "config.env-differs" Warning,
        "a variable that the environment and .env set differently",
        "The environment is in force here. A web process that does not get it (PHP-FPM with clear_env, cron, another \
         container) reads .env and so uses another store.";
    CONFIG_DOTENV_REPLACED "config.dotenv-replaced" Note,
        "an .env that is not read, because .env.{APP_ENV} replaces it",
        "What is changed in .env has no effect here; a process without APP_ENV reads .env.";
    CONFIG_PREFIX_DERIVED "config.prefix-derived" Warning | Note,
        "a key prefix that is made from APP_NAME",
        "Skeletons of Laravel make it in different ways, and a change of APP_NAME moves every key: the application and \
         the worker then look at different queues.";
    CONFIG_REDIS_CLIENT "config.redis-client" Warning,
        "a REDIS_CLIENT that Laravel does not have",
        "PHP cannot use Redis at all: web requests that dispatch jobs fail.";
    CONFIG_REDIS_CLUSTER "config.redis-cluster" Note,
        "the application's cluster mode",
        "It counts only when config/database.php has clusters; then keys live on many nodes, to which this worker does \
         not go.";
    CONFIG_RETRY_AFTER "config.retry-after" Warning | Note,
        "a retry_after of PHP workers that is null, is another than here, or cannot be seen from here",
        "PHP workers take a job for abandoned after their retry_after, whatever is set here; and in SQL the lease of \
         this worker is written as if they used the same.";
    CONFIG_WARNING "config.warning" Warning,
        "a setting that is legal and may surprise",
        "The value does not do what it seems to do.";

    // URLs.
    URL_UNESCAPED "url.unescaped" Warning,
        "a character in a user or password that must be percent-encoded",
        "Readers of URLs, shell scripts above all, cut the password at different places: one connects, another does not.";
    URL_PERCENT "url.percent" Warning,
        "a % in a user or password that is not followed by two digits",
        "Some readers keep it and some decode what follows: the password differs.";
    URL_QUOTED "url.quoted" Warning,
        "quotes that are part of a variable's value",
        "Laravel takes them off; other programs that read the variable do not. docker --env-file and Railway keep them.";
    URL_SCHEME "url.scheme" Warning,
        "a scheme that nothing here knows",
        "The URL is not used, without an error: another setting decides where jobs go.";
    URL_DISAGREE "url.disagree" Warning,
        "URLs that name different servers or databases",
        "Which one wins depends on who reads them; scripts of platforms have an order of their own.";
    URL_DATABASE "url.database" Warning,
        "a URL that names no database",
        "The database comes from another variable, which another service may not have.";
    URL_PORT "url.port" Note,
        "a URL without a port",
        "Here the usual port is meant; scripts that cut the URL up get an empty or wrong one.";
    URL_QUERY "url.query" Note,
        "a URL with parameters",
        "Scripts that cut the URL up keep ?name=value as part of the database's name.";

    // Servers.
    CONNECTION_UNREACHABLE "connection.unreachable" Error | Warning,
        "a store that does not answer, or does not let us in",
        "What is kept there cannot be had: jobs, records of failures, signals.";
    CONNECTION_READ_ONLY "connection.read-only" Error,
        "a server that takes no writes, such as a replica",
        "No job can be reserved or settled there.";
    CONNECTION_OLD "connection.old" Error | Warning,
        "a server whose version is too old",
        "It lacks what reserving jobs side by side needs (SKIP LOCKED, or commands of Redis), or is no longer mended.";
    CONNECTION_CLOCK "connection.clock" Error | Warning,
        "a clock that differs from this host's",
        "PHP writes due times and reservations with its host's clock, this worker with the store's: delayed jobs come \
         early or late, and reservations end while their jobs run.";
    CONNECTION_SLOW "connection.slow" Warning,
        "a round trip of more than 5 ms",
        "Every look, reservation and verdict costs at least one round trip; PHP needs several for each job.";
    CONNECTION_INCOMPLETE "connection.incomplete" Warning,
        "something that could not be examined in time, or at all",
        "What was not seen is not judged.";

    // Redis.
    REDIS_CLUSTER "redis.cluster" Error,
        "a server that is part of a cluster, or a sentinel",
        "Keys live on other nodes too, to which this worker does not go.";
    REDIS_EVICTION "redis.eviction" Error,
        "an eviction policy other than noeviction",
        "When memory is full the server throws keys away to make room: whole queues vanish without a trace.";
    REDIS_MEMORY "redis.memory" Error | Warning,
        "memory that is nearly used up",
        "At the limit the server refuses new jobs, or throws keys away.";
    REDIS_SAVE_FAILED "redis.save-failed" Error,
        "a server that could not write its data to the disk",
        "It may refuse all writes until it can, and a restart loses what was not written.";
    REDIS_VOLATILE "redis.volatile" Warning,
        "a server that keeps nothing on the disk",
        "A restart of the server loses every job that waits, is delayed, or runs.";
    REDIS_RIGHTS "redis.rights" Error | Note,
        "commands that the user may not run",
        "Jobs cannot be reserved, or not settled after they ran, so that they run again.";
    REDIS_URL_PATH "redis.url-path" Warning,
        "a REDIS_URL whose path replaces the database numbers of all connections",
        "Queue, cache and sessions share one database; a service whose REDIS_URL has no path looks for jobs in another.";
    REDIS_SHARED "redis.shared-database" Error,
        "queues and cache in one database",
        "php artisan cache:clear empties the whole database (FLUSHDB), and every queued job with it.";
    REDIS_ELSEWHERE "redis.elsewhere" Error | Warning,
        "queues with jobs in another database or below another prefix",
        "Nobody consumes them from here. Somebody pushes with other settings, or they belong to another application.";

    // Payloads.
    PAYLOAD_PACKED "payload.packed" Error,
        "payloads that PHP's Redis client has serialized or compressed",
        "This worker cannot read them, and PHP's own queue cannot find them again to delete them: jobs run over and over.";
    PAYLOAD_UNREADABLE "payload.unreadable" Warning,
        "payloads that are no jobs of Laravel's",
        "They fail when their turn comes, with their bytes kept in failed_jobs.";
    PAYLOAD_NO_KEY "payload.no-key" Error,
        "encrypted jobs without an APP_KEY",
        "Native jobs among them cannot be opened here.";
    PAYLOAD_WRONG_KEY "payload.wrong-key" Error,
        "encrypted jobs that no configured key opens",
        "Native jobs among them cannot be opened here. The application encrypts with another key.";

    // Tables.
    TABLE_MISSING "table.missing" Error | Warning | Note,
        "a table that is not there",
        "Whoever needs it gets an error: without failed_jobs a failure cannot be recorded and its job stays reserved, \
         without cache no signal arrives, without job_batches no batch can be dispatched.";
    TABLE_COLUMN "table.column" Error,
        "a column that is not there, or of a type that cannot hold its values",
        "Reading or writing a row fails, or cuts its values off.";
    TABLE_ATTEMPTS "table.attempts" Warning,
        "an attempts column that ends at 255",
        "A job on its way to attempt 256 can no longer be reserved; with PHP workers that row holds up its whole queue.";
    TABLE_WIDTH "table.width" Error,
        "a text column of 64 KB where payloads or exceptions go",
        "Longer ones are cut off or refused: a cut payload is a job that can never run.";
    TABLE_CHARSET "table.charset" Warning,
        "a text column that cannot hold every character",
        "An emoji in a subject line cuts the payload off (MySQL without strict mode) or refuses the job.";
    TABLE_INDEX "table.index" Note,
        "a table of jobs without an index on (queue, available_at, id)",
        "Each reservation reads through the delayed and reserved jobs of its queue; with many of them that is slow.";
    TABLE_OWN "table.own" Note,
        "a table of the worker's own that is not there",
        "Consumers cannot make themselves known: status and doctor do not see who consumes, and moved jobs may double.";
    FAILED_DRIVER "failed.driver" Error,
        "a failed driver that writes no uuid into a table that wants one",
        "PHP's queue:work deletes the job first, and then cannot write its failure: both are lost.";
    FAILED_EMPTY "failed.empty-uuid" Warning,
        "failed jobs without a uuid",
        "queue:retry and queue:forget by uuid do not find them; a second empty one violates the unique key.";
    FAILED_DUPLICATE "failed.duplicate-uuid" Warning,
        "failed jobs that share a uuid",
        "queue:retry and queue:forget mean all of them or the wrong one.";
    FAILED_UNIQUE "failed.no-unique" Note,
        "a table of failures without a unique key on uuid",
        "A failure that is recorded twice, after a crash, stays as two rows.";

    // Time limits.
    TIMEOUT_RETRY_AFTER "timeout.retry-after" Warning,
        "job classes whose timeout is not below retry_after",
        "PHP workers hand such a job to a second worker while the first still runs it: it runs twice. This worker renews \
         its lease and does not.";
    TIMEOUT_LANE "timeout.lane" Note,
        "queues whose time limit is not below retry_after",
        "Here that is safe. PHP workers that share the queue take over what runs for longer than retry_after.";
    TIMEOUT_QUEUE "timeout.queue" Note,
        "job classes whose timeout is above their queue's limit",
        "The job's own timeout wins: it holds a slot of the queue for longer than the queue is meant to take.";
    TIMEOUT_CAPPED "timeout.capped" Warning,
        "job classes whose timeout is cut down by max_timeout",
        "They are ended before the time that they ask for, on every attempt.";

    // Queues.
    QUEUE_UNSERVED "queue.unserved" Warning,
        "a queue with jobs that no lane of this configuration serves",
        "Its jobs wait for ever, unless PHP workers take them; those cannot be seen from here.";
    QUEUE_NO_WORKER "queue.no-worker" Warning,
        "queues with jobs while no worker process serves them",
        "The jobs wait, unless PHP workers take them; those cannot be seen from here.";
    QUEUE_LAPSED "queue.lapsed" Warning,
        "jobs whose reservation is over and that nobody takes again",
        "Their worker died; they run again only when somebody consumes the queue.";
    QUEUE_OLD "queue.old" Warning,
        "jobs that have waited for days",
        "Nobody has consumed the queue for that long. Consuming it now sends months-old mails and requests.";
    QUEUE_ORDER "queue.order" Warning,
        "a lane whose strict order starves a queue",
        "A lane takes from a queue only while all before it are empty.";
    QUEUE_TWICE "queue.twice" Warning,
        "a queue in two lanes, or twice in one",
        "Its place in the order is not what it seems, and it has the slots of both lanes.";

    // Signals.
    SIGNALS_UNREADABLE "signals.unreadable" Warning,
        "a cache store through which restart and pause cannot arrive",
        "php artisan queue:restart and queue:pause do not reach this worker: a deploy leaves it running.";
    SIGNALS_2028 "signals.2028" Note | Error,
        "an expiration column that ends in 2038",
        "Laravel's forever is ten years: from 2028-01-22 php artisan queue:restart and queue:pause fail with this column.";

    // PHP.
    PHP_MISSING "php.missing" Error,
        "a PHP binary that is not there, or does not answer",
        "Jobs without a native handler cannot run: they stay in their queues.";
    PHP_VERSION "php.version" Error,
        "a PHP that is older than 7.4",
        "The worker's PHP side is not written for it: its processes do not come up.";
    PHP_SAPI "php.sapi" Warning,
        "a PHP that is not its command line",
        "Limits and output are those of a web server's PHP: processes may be ended or say nothing.";
    PHP_EXTENSION "php.extension" Error | Warning | Note,
        "an extension that is missing",
        "What needs it throws in every job; php.ini of the command line is another file than that of web requests.";
    PHP_BOOT "php.boot" Error,
        "an application that does not boot in PHP",
        "No job without a native handler can run, and php artisan does not work either.";
    PHP_CLASS "php.class" Error | Warning,
        "a job class that cannot be loaded",
        "Each of its jobs fails, and a fatal error ends the process that it runs in.";
    PHP_RETRY_AFTER "php.retry-after" Warning,
        "job classes whose property timeout is not below retry_after in PHP",
        "A PHP worker takes a job that another still runs, and it runs twice. This worker does not.";
    PHP_TIMEOUT "php.timeout" Warning | Note,
        "job classes whose property timeout is above the limits of their queue",
        "A queue's max_timeout cuts such a job off; above its timeout it holds a slot for longer than the queue is meant \
         to take.";
    PHP_INCOMPLETE "php.incomplete" Warning,
        "job classes that could not all be tried",
        "What was not seen is not judged.";
}
