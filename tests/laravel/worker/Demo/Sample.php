<?php

namespace Worker\Demo;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;

/**
 * The PHP side of the worker's sample of the same name: works for a while.
 */
class Sample implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;
    use WritesLines;

    protected int $workMs;

    public function __construct(int $workMs = 0, ?string $journal = null)
    {
        $this->workMs = $workMs;
        $this->journal = $journal;
    }

    public function handle(): void
    {
        $this->note('start');
        usleep($this->workMs * 1000);
        $this->note('end');
        Journal::record('ran', $this->job, static::class);
    }
}
