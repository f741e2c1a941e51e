<?php

namespace Worker\Demo;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;

/**
 * The PHP side of the worker's sample of the same name: sleeps, and may release itself on its first attempt.
 */
class Slow implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;
    use WritesLines;

    protected int $sleepMs;

    protected ?int $releaseS;

    public function __construct(int $sleepMs = 0, ?int $releaseS = null, ?string $journal = null)
    {
        $this->sleepMs = $sleepMs;
        $this->releaseS = $releaseS;
        $this->journal = $journal;
    }

    public function handle(): void
    {
        $this->note('start');
        usleep($this->sleepMs * 1000);
        if ($this->releaseS !== null && $this->attempts() === 1) {
            $this->release($this->releaseS);

            return;
        }
        $this->note('end');
        Journal::record('ran', $this->job, static::class);
    }
}
