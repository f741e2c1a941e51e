<?php

/**
 * Runs queued jobs for the worker daemon, one at a time, in one warm Laravel application.
 *
 * Started as `php -r CODE -- DESCRIPTOR BASE_PATH`. The daemon's frames arrive on that descriptor, a socket, and are
 * answered on it; standard output and error are left to the application. A job is fired by the framework's own worker,
 * through a job class that only notes what is asked of it: the daemon alone touches the queue.
 *
 * Written for PHP 7.4 to 8.4 and Laravel 8 to 13; nothing is needed but the application itself.
 */

namespace WorkerDaemon;

use Throwable;

/**
 * Frames: `WKR`, a letter that tells the kind, the length of the body (32 bits, big endian), the body.
 */
final class Channel
{
    /** @var resource */
    private $in;

    /** @var resource */
    private $out;

    /** @var string */
    private $buffer = '';

    public function __construct(string $descriptor)
    {
        $this->in = fopen('php://fd/'.$descriptor, 'rb');
        $this->out = fopen('php://fd/'.$descriptor, 'wb');
    }

    /**
     * The next frame: its kind, its members, and the bytes that follow them; null when the daemon is gone.
     */
    public function read(): ?array
    {
        if (! $this->fill(12)) {
            return null;
        }
        $head = unpack('a3magic/akind/Nlength/Nmembers', $this->buffer);
        if ($head['magic'] !== 'WKR' || ! $this->fill(8 + $head['length'])) {
            return null;
        }
        $members = json_decode(substr($this->buffer, 12, $head['members']), true);
        $bytes = substr($this->buffer, 12 + $head['members'], $head['length'] - 4 - $head['members']);
        $this->buffer = (string) substr($this->buffer, 8 + $head['length']);

        return [$head['kind'], $members, $bytes];
    }

    public function write(string $kind, array $members): void
    {
        $flags = JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES;
        $body = json_encode($members, $flags);
        $frame = 'WKR'.$kind.pack('N', strlen($body)).$body;
        while ($frame !== '') {
            $written = @fwrite($this->out, $frame);
            if (! $written) {
                exit(0);
            }
            $frame = (string) substr($frame, $written);
        }
    }

    private function fill(int $length): bool
    {
        while (strlen($this->buffer) < $length) {
            $read = fread($this->in, max(8192, $length - strlen($this->buffer)));
            if (($read === false || $read === '') && feof($this->in)) {
                return false;
            }
            $this->buffer .= $read;
        }

        return true;
    }
}

/**
 * What the daemon is told of an exception.
 */
final class Told
{
    private const MOST = 1 << 20;

    public static function of(Throwable $e): array
    {
        try {
            $text = (string) $e;
        } catch (Throwable $unprintable) {
            $text = get_class($e).': '.$e->getMessage().' in '.$e->getFile().':'.$e->getLine();
        }

        return [
            'class' => get_class($e),
            'message' => substr($e->getMessage(), 0, self::MOST),
            'text' => substr($text, 0, self::MOST),
        ];
    }
}

/**
 * The application, and what a job may leave behind in it.
 */
final class Application
{
    /** Settings that jobs are known to change and that the next job must find as they were. */
    private const SETTINGS = [
        'app.locale', 'app.fallback_locale', 'app.timezone', 'app.url', 'auth.defaults', 'broadcasting.default',
        'cache.default', 'database.default', 'filesystems.default', 'filesystems.cloud', 'logging.default',
        'mail.default', 'mail.from', 'queue.default', 'session.driver',
    ];

    /** Settings of PHP itself. */
    private const INI = ['memory_limit', 'max_execution_time', 'error_reporting', 'display_errors', 'precision'];

    /** Connections that lay unused for longer than this may have been closed by the other side, in seconds. */
    private const STALE = 30;

    public $app;

    /** @var array */
    private $settings = [];

    /** @var array */
    private $ini = [];

    /** @var string */
    private $locale;

    /** @var string */
    private $timezone;

    /** @var string|false */
    private $directory;

    /** @var int */
    private $buffers;

    /** @var float */
    private $used;

    public function __construct(string $base)
    {
        require self::autoload($base);
        $this->app = require $base.'/bootstrap/app.php';
        $this->app->make(\Illuminate\Contracts\Console\Kernel::class)->bootstrap();
    }

    /** The file that the application's own `artisan` loads its classes with. */
    private static function autoload(string $base): string
    {
        $artisan = (string) file_get_contents($base.'/artisan');
        if (preg_match('/require(?:_once)?\s*\(?\s*__DIR__\s*\.\s*[\'"]([^\'"]*autoload\.php)[\'"]/', $artisan, $found)) {
            return $base.'/'.ltrim($found[1], '/');
        }

        return $base.'/vendor/autoload.php';
    }

    /** Notes how things are before the first job. */
    public function remember(): void
    {
        $config = $this->app['config'];
        foreach (self::SETTINGS as $name) {
            $this->settings[$name] = $config->get($name);
        }
        foreach (self::INI as $name) {
            $this->ini[$name] = ini_get($name);
        }
        $this->locale = $this->app->getLocale();
        $this->timezone = date_default_timezone_get();
        $this->directory = getcwd();
        $this->buffers = ob_get_level();
        $this->used = microtime(true);
    }

    /** Before a job: what lay idle for long is connected anew when it is first used. */
    public function freshen(): void
    {
        if (microtime(true) - $this->used > self::STALE) {
            $this->disconnect();
        }
    }

    /** Puts back what a job changed, and returns the names of what it had changed; throws when it cannot. */
    public function restore(): array
    {
        $changed = array_merge($this->rollBack(), $this->restorePhp(), $this->restoreSettings());
        if ($this->app->resolved('auth') && method_exists($this->app['auth'], 'forgetGuards')) {
            $this->app['auth']->forgetGuards();
        }
        if (class_exists(\Illuminate\Support\Carbon::class, false) && \Illuminate\Support\Carbon::hasTestNow()) {
            \Illuminate\Support\Carbon::setTestNow();
            $changed[] = 'clock';
        }
        $this->used = microtime(true);

        return $changed;
    }

    private function restorePhp(): array
    {
        $changed = [];
        while (ob_get_level() > $this->buffers) {
            ob_end_flush();
            $changed[] = 'output buffer';
        }
        foreach ($this->ini as $name => $value) {
            if (ini_get($name) !== $value) {
                ini_set($name, (string) $value);
                $changed[] = $name;
            }
        }
        if (date_default_timezone_get() !== $this->timezone) {
            date_default_timezone_set($this->timezone);
            $changed[] = 'time zone';
        }
        if ($this->directory !== false && getcwd() !== $this->directory && @chdir($this->directory)) {
            $changed[] = 'working directory';
        }

        return $changed;
    }

    private function restoreSettings(): array
    {
        $changed = [];
        if ($this->app->getLocale() !== $this->locale) {
            $this->app->setLocale($this->locale);
            $changed[] = 'locale';
        }
        $config = $this->app['config'];
        foreach ($this->settings as $name => $value) {
            if ($config->get($name) !== $value) {
                $config->set($name, $value);
                $changed[] = $name;
            }
        }

        return $changed;
    }

    /** A transaction that a job left open would swallow what the next one writes. */
    private function rollBack(): array
    {
        $changed = [];
        foreach ($this->connections() as $name => $connection) {
            if ($connection->transactionLevel() > 0) {
                $changed[] = "open transaction of $name";
                try {
                    $connection->rollBack(0);
                } catch (Throwable $e) {
                    $this->app['db']->purge($name);
                }
            }
        }

        return $changed;
    }

    /** Closes connections to databases and Redis; they come back when they are next used. */
    public function disconnect(): void
    {
        foreach (array_keys($this->connections()) as $name) {
            $this->app['db']->purge($name);
        }
        if ($this->app->resolved('redis') && method_exists($this->app['redis'], 'purge')) {
            foreach (array_keys((array) $this->app['redis']->connections()) as $name) {
                $this->app['redis']->purge($name);
            }
        }
    }

    private function connections(): array
    {
        return $this->app->resolved('db') ? $this->app['db']->getConnections() : [];
    }
}

/**
 * Declares the repository of batches, once the framework's classes can be loaded.
 *
 * The framework counts a job of a batch, calls the batch's callbacks, and deletes the job last. When a process is
 * killed in between, the job runs again: the framework's own repository then counts it twice, and callbacks that were
 * due are never called. This one notes in the same transaction which job it has counted, and what that count calls for
 * until it has been called.
 */
function require_batches(): void
{
    if (class_exists(CountedBatches::class, false)) {
        return;
    }

    class CountedBatches extends \Illuminate\Bus\DatabaseBatchRepository
    {
        /** The table of `worker migrate` that holds the notes. */
        private const TABLE = 'worker_markers';

        /** A job that was counted does not come back later than this, in seconds. */
        private const KEPT = 7 * 86400;

        /** @var string[] what the counts of the running job call for */
        private $owed = [];

        /** The same repository with notes; as it is when it is not the framework's own, or there is no table for them. */
        public static function in(object $repository): object
        {
            if (get_class($repository) !== \Illuminate\Bus\DatabaseBatchRepository::class) {
                return $repository;
            }
            $parts = function () {
                return [$this->factory, $this->connection, $this->table];
            };
            [$factory, $connection, $table] = $parts->call($repository);

            return $connection->getSchemaBuilder()->hasTable(self::TABLE)
                ? new self($factory, $connection, $table)
                : $repository;
        }

        public function decrementPendingJobs(string $batchId, string $jobId)
        {
            return $this->once("batch:$batchId:$jobId", 'done', function () use ($batchId, $jobId) {
                return parent::decrementPendingJobs($batchId, $jobId);
            });
        }

        public function incrementFailedJobs(string $batchId, string $jobId)
        {
            return $this->once("batch:$batchId:$jobId", 'failed', function () use ($batchId, $jobId) {
                return parent::incrementFailedJobs($batchId, $jobId);
            });
        }

        /** The callbacks that the running job's counts called for have been called; what is old is forgotten as well. */
        public function told(): void
        {
            [$told, $this->owed] = [$this->owed, []];
            if ($told !== []) {
                $this->connection->table(self::TABLE)->whereIn('marker', $told)->delete();
                $this->notes('batch:%')->where('created_at', '<', time() - self::KEPT)->delete();
            }
        }

        /** Counts a job unless that was done; the note comes first, so that the transaction begins with a write. */
        private function once(string $job, string $how, callable $count): \Illuminate\Bus\UpdatedBatchJobCounts
        {
            return $this->connection->transaction(function () use ($job, $how, $count) {
                $known = ! $this->note("$job:$how") || ($how === 'failed' && $this->notes("$job:done")->exists());
                $counts = $known ? $this->due("$job:$how:") : $count();
                if ($counts->pendingJobs === 0 || $counts->failedJobs === 1 || $counts->allJobsHaveRanExactlyOnce()) {
                    $this->owed[] = $due = "$job:$how:{$counts->pendingJobs}:{$counts->failedJobs}";
                    $this->note($due);
                }

                return $counts;
            });
        }

        /** What the count of a job that was counted before still calls for; numbers that call for nothing. */
        private function due(string $notes): \Illuminate\Bus\UpdatedBatchJobCounts
        {
            $due = $this->notes("$notes%")->value('marker');
            $counts = $due === null ? [-1, 0] : array_map('intval', explode(':', substr($due, strlen($notes))));

            return new \Illuminate\Bus\UpdatedBatchJobCounts(...$counts);
        }

        private function notes(string $like): object
        {
            return $this->connection->table(self::TABLE)->where('marker', 'like', $like);
        }

        private function note(string $marker): bool
        {
            $row = ['marker' => $marker, 'created_at' => time()];

            return $this->connection->table(self::TABLE)->insertOrIgnore($row) === 1;
        }
    }
}

/**
 * Fires jobs through the framework's own worker.
 */
final class Loop
{
    /** @var Channel */
    private $channel;

    /** @var Application */
    private $application;

    private $app;

    private $events;

    private $worker;

    /** @var callable|null */
    private $resetScope;

    /** @var int|null */
    private $running;

    /** @var string|null */
    private $spare;

    /** @var CountedBatches|null */
    private $batches;

    public function __construct(Channel $channel)
    {
        $this->channel = $channel;
    }

    /** Boots the application, says so, and takes jobs until the daemon closes its end. */
    public function run(string $base): void
    {
        $started = microtime(true);
        $this->spare = str_repeat('.', 65536);
        register_shutdown_function([$this, 'ended']);
        try {
            $this->boot($base);
        } catch (Throwable $e) {
            $this->channel->write('B', ['exception' => Told::of($e)]);
            exit(1);
        }
        $this->channel->write('H', [
            'php' => PHP_VERSION,
            'laravel' => $this->app->version(),
            'pcntl' => extension_loaded('pcntl'),
            'boot_ms' => (int) round((microtime(true) - $started) * 1000),
        ]);
        $this->application->remember();
        while (($frame = $this->channel->read()) !== null) {
            $this->handle(...$frame);
        }
        $this->dispatch('WorkerStopping', 0);
        exit(0);
    }

    private function boot(string $base): void
    {
        $this->application = new Application($base);
        $this->app = $this->application->app;
        $this->events = $this->app['events'];
        $this->worker = $this->app['queue.worker'];
        $this->worker->setCache($this->app->make(\Illuminate\Contracts\Cache\Repository::class));
        if (method_exists($this->worker, 'setName')) {
            $this->worker->setName('default');
        }
        $scope = function () {
            return $this->resetScope ?? null;
        };
        $this->resetScope = $scope->call($this->worker);
        require_job();
        $this->app->extend(\Illuminate\Bus\BatchRepository::class, function (object $repository): object {
            require_batches();
            $repository = CountedBatches::in($repository);
            $this->batches = $repository instanceof CountedBatches ? $repository : null;

            return $repository;
        });
        $this->events->listen(\Illuminate\Queue\Events\JobFailed::class, function ($event): void {
            $this->record($event);
        });
    }

    /** A job that another one runs in line, on the connection `sync`, is none of the daemon's when it fails. */
    private function record(object $event): void
    {
        if ($event->job instanceof ReservedJob) {
            return;
        }
        $job = $event->job;
        $this->app['queue.failer']->log($event->connectionName, $job->getQueue(), $job->getRawBody(), $event->exception);
    }

    /** Runs what one frame asks for, and answers. */
    private function handle(string $kind, array $members, string $payload): void
    {
        $this->running = $members['run'];
        $this->application->freshen();
        if ($this->resetScope !== null) {
            ($this->resetScope)();
        }
        $job = new ReservedJob($this->app, $payload, $members, function (Throwable $e): void {
            $this->channel->write('G', ['run' => $this->running, 'exception' => Told::of($e)]);
        });
        $exception = $kind === 'F' ? $this->fail($job, $members) : $this->process($job, $members);
        $answer = ['run' => $this->running] + $job->outcome();
        if ($exception !== null) {
            $answer['exception'] = Told::of($exception);
            if ($this->isLostConnection($exception)) {
                $this->application->disconnect();
            }
        }
        try {
            if ($this->batches !== null) {
                $this->batches->told();
            }
            $changed = $this->application->restore();
        } catch (Throwable $e) {
            $changed = ['what cannot be put back: '.$e->getMessage()];
            $answer['spoilt'] = true;
        }
        if ($changed !== []) {
            $answer['changed'] = $changed;
        }
        $job = null;
        $this->running = null;
        $this->channel->write('D', $answer);
    }

    /** As `Illuminate\Queue\Worker` runs a job that it has popped; returns what was thrown. */
    private function process(ReservedJob $job, array $members): ?Throwable
    {
        $options = new \Illuminate\Queue\WorkerOptions();
        $options->maxTries = $members['tries'];
        $options->backoff = $members['backoff'];
        $options->timeout = $members['timeout'];
        $connection = $members['connection'];
        try {
            $this->dispatch('Looping', $connection, $members['queue'], $options);
            $this->dispatch('JobPopping', $connection, $members['queue']);
            $this->dispatch('JobPopped', $connection, $job);
            $this->worker->process($connection, $job, $options);
        } catch (Throwable $e) {
            $this->report($e);

            return $e;
        }

        return null;
    }

    /** Tells a job that it has failed for good, when the process that ran it could not. */
    private function fail(ReservedJob $job, array $members): ?Throwable
    {
        $reason = self::reason($members);
        try {
            if ($members['timed_out']) {
                $this->dispatch('JobTimedOut', $members['connection'], $job, $members['timeout']);
            }
            $job->fail($reason);
        } catch (Throwable $e) {
            $this->report($e);

            return $e;
        }

        return null;
    }

    private static function reason(array $members): Throwable
    {
        foreach ($members['classes'] as $class) {
            if (class_exists($class) && is_subclass_of($class, Throwable::class)) {
                return new $class($members['message']);
            }
        }

        return new \RuntimeException($members['message']);
    }

    private function report(Throwable $e): void
    {
        $worker = get_class($this->worker);
        if (property_exists($worker, 'reportJobExceptions') && ! $worker::$reportJobExceptions) {
            return;
        }
        try {
            $this->app[\Illuminate\Contracts\Debug\ExceptionHandler::class]->report($e);
        } catch (Throwable $unreported) {
            fwrite(STDERR, 'The exception handler failed: '.$unreported->getMessage()."\n");
        }
    }

    private function isLostConnection(Throwable $e): bool
    {
        $check = function () use ($e) {
            return $this->causedByLostConnection($e);
        };

        return $check->call($this->worker);
    }

    /** Dispatches an event of the queue, where this framework has it. */
    private function dispatch(string $event, ...$arguments): void
    {
        $class = 'Illuminate\\Queue\\Events\\'.$event;
        if (class_exists($class)) {
            $this->events->dispatch(new $class(...$arguments));
        }
    }

    /** The end of the process. One that comes in the middle of a job is explained as far as PHP can. */
    public function ended(): void
    {
        $this->spare = null;
        $error = error_get_last();
        $fatal = $error !== null && ($error['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR)) !== 0;
        $cause = ['fatal' => $fatal ? $error['message'].' in '.$error['file'].':'.$error['line'] : null];
        if ($this->running !== null) {
            $this->channel->write('X', ['run' => $this->running] + $cause);
        } elseif ($fatal) {
            $this->channel->write('B', $cause);
        }
    }
}

/**
 * Declares the job class, which can be done only once the framework's classes can be loaded.
 */
function require_job(): void
{
    if (class_exists(ReservedJob::class, false)) {
        return;
    }

    /**
     * A job that the daemon holds. Notes what becomes of it, and leaves the queue alone.
     */
    final class ReservedJob extends \Illuminate\Queue\Jobs\Job implements \Illuminate\Contracts\Queue\Job
    {
        /** @var string */
        private $body;

        /** @var array */
        private $members;

        /** @var array|null */
        private $decoded;

        /** @var callable */
        private $givingUp;

        /** @var int|null */
        private $delay;

        /** @var Throwable|null */
        private $reason;

        public function __construct($container, string $body, array $members, callable $givingUp)
        {
            $this->container = $container;
            $this->body = $body;
            $this->members = $members;
            $this->givingUp = $givingUp;
            $this->connectionName = $members['connection'];
            $this->queue = $members['queue'];
        }

        public function getJobId()
        {
            return $this->members['id'];
        }

        public function getRawBody()
        {
            return $this->body;
        }

        public function attempts()
        {
            return $this->members['attempts'];
        }

        public function payload()
        {
            if ($this->decoded === null) {
                $this->decoded = json_decode($this->body, true);
            }

            return $this->decoded;
        }

        public function release($delay = 0)
        {
            parent::release($delay);
            $this->delay = max(0, $this->secondsUntil($delay));
        }

        public function fail($e = null)
        {
            if (! $this->isDeleted()) {
                $this->reason = $e instanceof Throwable ? $e : new \Illuminate\Queue\ManuallyFailedException((string) $e);
                ($this->givingUp)($this->reason);
            }
            parent::fail($e);
        }

        /** What was asked for; a failure counts most, and a job that was given back is not done. */
        public function outcome(): array
        {
            if ($this->hasFailed() && $this->reason !== null) {
                return ['outcome' => 'failed', 'reason' => Told::of($this->reason)];
            }
            if ($this->isReleased()) {
                return ['outcome' => 'released', 'delay' => $this->delay];
            }

            return ['outcome' => $this->isDeleted() ? 'deleted' : 'kept'];
        }
    }
}

$_SERVER['argv'] = ['artisan', 'queue:work'];
$_SERVER['argc'] = 2;
$_SERVER['SCRIPT_NAME'] = $_SERVER['SCRIPT_FILENAME'] = $_SERVER['PHP_SELF'] = 'artisan';
define('LARAVEL_START', microtime(true));
(new Loop(new Channel($argv[1])))->run($argv[2]);
