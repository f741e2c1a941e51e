<?php

/**
 * Tells `worker doctor` what PHP is, whether the application boots, and which of its job classes load.
 *
 * Started as `php -r CODE -- DESCRIPTOR BASE_PATH LISTS SKIP`, LISTS being a directory to write in. Each answer is a
 * line of JSON on that descriptor; standard output and error are left to the application. A class that cannot be loaded
 * may end the process: the last line tells why, and the next process skips as many classes as were answered for.
 *
 * Written for PHP 7.4 to 8.4 and Laravel 8 to 13.
 */

namespace WorkerDoctor;

use Throwable;

final class Doctor
{
    private const FATAL = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR;

    /** @var resource */
    private $out;

    /** @var string */
    private $base;

    /** @var string where the framework's lists of providers go, so that none is written in the application */
    private $lists;

    /** @var bool */
    private $done = false;

    public function __construct(string $descriptor, string $base, string $lists)
    {
        $this->out = fopen('php://fd/'.$descriptor, 'wb');
        $this->base = $base;
        $this->lists = $lists;
    }

    public function run(int $skip): void
    {
        ini_set('display_errors', 'stderr');
        register_shutdown_function([$this, 'ended']);
        $this->say('engine', [
            'version' => PHP_VERSION,
            'number' => PHP_VERSION_ID,
            'sapi' => PHP_SAPI,
            'extensions' => array_map('strtolower', get_loaded_extensions()),
            'drivers' => class_exists('PDO', false) ? \PDO::getAvailableDrivers() : [],
        ]);
        try {
            $this->boot();
        } catch (Throwable $e) {
            $this->end('broken', ['error' => self::words($e)]);

            return;
        }
        // What a class does while it is loaded, such as to be deprecated, is not for the application's log.
        set_error_handler(static function (): bool {
            return true;
        });
        try {
            foreach (array_slice($this->classes(), $skip) as [$class, $file]) {
                $this->say('loading', ['class' => $class, 'file' => $file]);
                $this->say('class', $this->load($class, $file));
            }
        } catch (Throwable $e) {
            $this->end('ended', ['error' => self::words($e)]);

            return;
        }
        $this->end('done', []);
    }

    private function boot(): void
    {
        $started = microtime(true);
        $this->divert();
        require $this->autoload();
        $app = require $this->base.'/bootstrap/app.php';
        $app->make(\Illuminate\Contracts\Console\Kernel::class)->bootstrap();
        $config = $app['config'];
        $driver = $config->get('database.connections.'.$config->get('database.default').'.driver');
        $client = $config->get('database.redis.client');
        $this->say('booted', [
            'ms' => (int) round((microtime(true) - $started) * 1000),
            'peak_mb' => (int) ceil(memory_get_peak_usage(true) / 1048576),
            'framework' => $app->version(),
            'driver' => is_string($driver) ? $driver : null,
            'client' => is_string($client) ? $client : null,
            'predis' => class_exists('Predis\\Client'),
            'retry_after' => (object) self::retryAfter((array) $config->get('queue.connections')),
        ]);
    }

    /** Seconds of `retry_after` by connection, as the framework takes them: 60 for nothing. */
    private static function retryAfter(array $connections): array
    {
        $seconds = [];
        foreach ($connections as $name => $connection) {
            if (in_array($connection['driver'] ?? null, ['redis', 'database'], true)) {
                $seconds[$name] = max(0, (int) ($connection['retry_after'] ?? 60));
            }
        }

        return $seconds;
    }

    /** The file that the application's own `artisan` loads its classes with. */
    private function autoload(): string
    {
        $artisan = (string) file_get_contents($this->base.'/artisan');
        if (preg_match('/require(?:_once)?\s*\(?\s*__DIR__\s*\.\s*[\'"]([^\'"]*autoload\.php)[\'"]/', $artisan, $found)) {
            return $this->base.'/'.ltrim($found[1], '/');
        }

        return $this->base.'/vendor/autoload.php';
    }

    /** The framework writes its lists of packages and providers when they are old: it gets copies of them. */
    private function divert(): void
    {
        foreach (['APP_SERVICES_CACHE' => 'services.php', 'APP_PACKAGES_CACHE' => 'packages.php'] as $name => $file) {
            $known = getenv($name) ?: 'bootstrap/cache/'.$file;
            @copy($known[0] === '/' ? $known : $this->base.'/'.$known, $this->lists.'/'.$file);
            $_ENV[$name] = $_SERVER[$name] = $this->lists.'/'.$file;
            putenv($name.'='.$this->lists.'/'.$file);
        }
    }

    /** Job classes with their files, always in the same order. */
    private function classes(): array
    {
        $found = [];
        foreach (['/app/Jobs', '/Modules/*/Jobs', '/Modules/*/app/Jobs'] as $pattern) {
            foreach (glob($this->base.$pattern, GLOB_ONLYDIR) ?: [] as $folder) {
                foreach (self::files($folder) as $file) {
                    $class = self::declared($file);
                    if ($class !== null) {
                        $found[$file] = [$class, substr($file, strlen($this->base) + 1)];
                    }
                }
            }
        }
        ksort($found);

        return array_values($found);
    }

    /** The PHP files below a folder, and the folders that cannot be read. */
    private static function files(string $folder): array
    {
        $names = @scandir($folder);
        if ($names === false) {
            return [$folder];
        }
        $files = [];
        foreach (array_diff($names, ['.', '..']) as $name) {
            $path = $folder.'/'.$name;
            if (is_dir($path) && ! is_link($path)) {
                $files = array_merge($files, self::files($path));
            } elseif (substr($name, -4) === '.php') {
                $files[] = $path;
            }
        }

        return $files;
    }

    /** The class that a file is for; its bare name when the file cannot be read. */
    private static function declared(string $file): ?string
    {
        $own = basename($file, '.php');
        $text = @file_get_contents($file);
        if ($text === false) {
            return $own;
        }
        $start = '/^\h*(?:<\?php\s+)?';
        preg_match_all($start.'(?:#\[.*\]\h*)?(?:(?:abstract|final|readonly)\s+)*class\s+(\w+)/mi', $text, $classes);
        if ($classes[1] === []) {
            return null;
        }
        $class = in_array($own, $classes[1], true) ? $own : $classes[1][0];
        $space = preg_match($start.'namespace\s+([\w\\\\]+)\s*[;{]/mi', $text, $found) ? $found[1].'\\' : '';

        return $space.$class;
    }

    private function load(string $class, string $file): array
    {
        if (! is_readable($this->base.'/'.$file)) {
            return ['error' => $file.' cannot be read'];
        }
        try {
            if (! class_exists($class)) {
                return ['found' => false];
            }
            $reflection = new \ReflectionClass($class);
            $defaults = $reflection->isAbstract() ? [] : $reflection->getDefaultProperties();
        } catch (Throwable $e) {
            return ['error' => self::words($e)];
        }
        $timeout = $defaults['timeout'] ?? null;
        $name = static function (string $property) use ($defaults): ?string {
            $value = $defaults[$property] ?? null;

            return is_string($value) && $value !== '' ? $value : null;
        };

        return [
            'timeout' => is_numeric($timeout) && $timeout >= 0 ? (int) $timeout : null,
            'connection' => $name('connection'),
            'queue' => $name('queue'),
        ];
    }

    /** The end of the process, and why. What the framework would do then, such as to log, is not done. */
    public function ended(): void
    {
        if (! $this->done) {
            $error = error_get_last();
            $fatal = $error !== null && ($error['type'] & self::FATAL) !== 0;
            $this->end('ended', [
                'error' => $fatal ? self::first($error['message']).' in '.$error['file'].':'.$error['line'] : null,
            ]);
        }
        exit;
    }

    private function end(string $said, array $members): void
    {
        $this->done = true;
        $this->say($said, $members);
    }

    private static function words(Throwable $e): string
    {
        return get_class($e).': '.self::first($e->getMessage()).' in '.$e->getFile().':'.$e->getLine();
    }

    /** The first line of a message: PHP puts a trace below it. */
    private static function first(string $message): string
    {
        return substr(strtok($message, "\n") ?: '', 0, 1000);
    }

    private function say(string $said, array $members): void
    {
        $flags = JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES;
        fwrite($this->out, json_encode(['said' => $said] + $members, $flags)."\n");
    }
}

$_SERVER['argv'] = ['artisan', 'list'];
$_SERVER['argc'] = 2;
$_SERVER['SCRIPT_NAME'] = $_SERVER['SCRIPT_FILENAME'] = $_SERVER['PHP_SELF'] = 'artisan';
define('LARAVEL_START', microtime(true));
(new Doctor($argv[1], $argv[2], $argv[3]))->run((int) $argv[4]);
