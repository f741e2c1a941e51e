<?php

namespace Worker\Demo;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;
use RuntimeException;

/**
 * The PHP side of the worker's sample of the same name: sleeps, and may fail, or release itself on its first attempt.
 */
class Slow implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;
    use WritesLines;

    protected int $sleepMs;

    protected ?int $releaseS = null;

    protected bool $panic = false;

    public function __construct(
        int $sleepMs = 0,
        ?int $releaseS = null,
        ?string $journal = null,
        bool $panic = false
    ) {
        $this->sleepMs = $sleepMs;
        $this->releaseS = $releaseS;
        $this->panic = $panic;
        $this->journal = $journal;
    }

    public function handle(): void
    {
        $this->note('start');
        usleep($this->sleepMs * 1000);
        if ($this->panic) {
            throw new RuntimeException('This sample fails on purpose');
        }
        if ($this->releaseS !== null && $this->attempts() === 1) {
            $this->note('released');
            $this->release($this->releaseS);

            return;
        }
        $this->note('end');
        Journal::record('ran', $this->job, static::class);
    }
}
