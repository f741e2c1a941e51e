<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/**
 * Sleeps for `sleepMs` milliseconds and records that it ran.
 */
class RecordJob implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public string $tag;

    public int $n;

    public int $sleepMs;

    public function __construct(string $tag = '', int $n = 0, int $sleepMs = 0)
    {
        $this->tag = $tag;
        $this->n = $n;
        $this->sleepMs = $sleepMs;
    }

    public function handle(): void
    {
        $start = microtime(true);
        usleep($this->sleepMs * 1000);
        Journal::record('ran', $this->job, static::class, [
            'tag' => $this->tag,
            'n' => $this->n,
            'start' => $start,
        ]);
    }
}
