<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/**
 * Gives itself back on its first `times` attempts, for `seconds` seconds, and then ends well.
 */
class ReleasingJob implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public string $tag;

    public int $n;

    public int $times;

    public int $seconds;

    public function __construct(string $tag = '', int $n = 0, int $times = 1, int $seconds = 0)
    {
        $this->tag = $tag;
        $this->n = $n;
        $this->times = $times;
        $this->seconds = $seconds;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['tag' => $this->tag, 'n' => $this->n]);
        if ($this->attempts() <= $this->times) {
            $this->release($this->seconds);
        }
    }
}
