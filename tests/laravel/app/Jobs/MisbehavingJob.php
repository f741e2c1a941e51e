<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Support\Facades\Config;
use Illuminate\Support\Facades\DB;
use RuntimeException;
use Throwable;

/**
 * Does to its process what no job should, as the name of one of the methods below tells. Records its start, its end if
 * it comes to one, and its final failure.
 */
class MisbehavingJob implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public string $how;

    public string $tag;

    public int $n;

    public int $ms;

    public function __construct(string $how = 'nothing', string $tag = '', int $n = 0, int $ms = 0)
    {
        $this->how = $how;
        $this->tag = $tag === '' ? $how : $tag;
        $this->n = $n;
        $this->ms = $ms;
    }

    public function handle(): void
    {
        $labels = ['tag' => $this->tag, 'n' => $this->n];
        Journal::record('started', $this->job, static::class, $labels);
        $this->{$this->how}();
        Journal::record('ran', $this->job, static::class, $labels);
    }

    public function failed(Throwable $reason): void
    {
        Journal::record('failed', null, static::class, [
            'tag' => $this->tag,
            'n' => $this->n,
            'data' => ['class' => get_class($reason), 'message' => $reason->getMessage()],
        ]);
        if ($this->how === 'failsToFail') {
            posix_kill(getmypid(), SIGKILL);
        }
    }

    /** Takes `ms` milliseconds, and as many more as the last two digits of its number say. */
    private function nothing(): void
    {
        usleep(($this->ms + $this->n % 100) * 1000);
    }

    private function failsToFail(): void
    {
        throw new RuntimeException('And its failed hook ends the process');
    }

    private function exitsWell(): void
    {
        exit(0);
    }

    private function exits(): void
    {
        fwrite(STDERR, "Last words of the job\n");
        exit(255);
    }

    private function segfaults(): void
    {
        posix_kill(getmypid(), SIGSEGV);
        sleep(60);
    }

    private function killsItsGroup(): void
    {
        posix_kill(0, SIGKILL);
        sleep(60);
    }

    private function errsFatally(): void
    {
        // A class that a second declaration makes impossible: an error of the compiler, which nothing catches.
        eval('class Twice {} class Twice {}');
    }

    private function takesAllMemory(): void
    {
        ini_set('memory_limit', '48M');
        $all = [];
        while (true) {
            $all[] = str_repeat('x', 1 << 20);
        }
    }

    private function loops(): void
    {
        while (true) {
            hash('sha256', 'x');
        }
    }

    private function sleeps(): void
    {
        sleep(60);
    }

    private function ignoresTerm(): void
    {
        pcntl_signal(SIGTERM, SIG_IGN);
        while (true) {
            sleep(60);
        }
    }

    /** Leaves a child behind that holds every descriptor open, and ends. */
    private function forksAndExits(): void
    {
        $this->fork();
        exit(3);
    }

    /** Leaves a child behind, and goes on. */
    private function forks(): void
    {
        $this->fork();
    }

    private function fork(): void
    {
        if (pcntl_fork() === 0) {
            Journal::record('forked', null, static::class, ['tag' => $this->tag]);
            while (true) {
                sleep(60);
            }
        }
    }

    private function writesGarbage(): void
    {
        $this->toSockets("garbage\n");
    }

    private function writesHalfAFrame(): void
    {
        $this->toSockets("WKRD\0\0\1\0{\"run\":");
        sleep(60);
    }

    private function floods(): void
    {
        for ($i = 0; $i < 100; $i++) {
            echo str_repeat('flood', 200000);
        }
    }

    private function closesItsOutput(): void
    {
        fclose(STDOUT);
        fclose(STDERR);
    }

    private function prints(): void
    {
        echo "A line of the job\n";
        fwrite(STDERR, "An error line of the job\n");
    }

    private function pollutes(): void
    {
        app()->setLocale('mk');
        Config::set('filesystems.default', 'temp_local');
        date_default_timezone_set('Europe/Skopje');
        chdir('/');
        DB::beginTransaction();
        DB::table('sessions')->insert(['id' => 'left-open', 'payload' => '', 'last_activity' => 0]);
    }

    /** Throws what `pollutes` would leave behind. */
    private function inspects(): void
    {
        throw new RuntimeException(json_encode([
            app()->getLocale(), Config::get('filesystems.default'), date_default_timezone_get(), getcwd() === '/',
            DB::transactionLevel(), DB::table('sessions')->count(),
        ]));
    }

    private function toSockets(string $bytes): void
    {
        foreach (scandir('/proc/self/fd') as $fd) {
            $target = @readlink("/proc/self/fd/$fd");
            if ($target !== false && strpos($target, 'socket:') === 0) {
                fwrite(fopen("php://fd/$fd", 'wb'), $bytes);
            }
        }
    }
}
