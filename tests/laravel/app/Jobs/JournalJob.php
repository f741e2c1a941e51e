<?php

namespace App\Jobs;

use Illuminate\Bus\Batchable;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use RuntimeException;
use Worker\Demo\WritesLines;

/**
 * Keeps the journal of the fault tests, line by line as `Worker\Demo\Slow` does: `start`, then `sleepMs` milliseconds,
 * then `end`, or an exception when it is to fail. It may be in a chain and in a batch, and has no property but plain
 * ones, so that a test may write its payload by hand.
 */
class JournalJob implements ShouldQueue
{
    use Batchable;
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use WritesLines;

    public int $n = 0;

    public int $sleepMs = 0;

    public bool $fails = false;

    public function __construct(?string $journal = null, int $sleepMs = 0, bool $fails = false, int $n = 0)
    {
        $this->journal = $journal;
        $this->sleepMs = $sleepMs;
        $this->fails = $fails;
        $this->n = $n;
    }

    public function handle(): void
    {
        $this->note('start');
        usleep($this->sleepMs * 1000);
        if ($this->fails) {
            throw new RuntimeException('The job fails as it was told');
        }
        $this->note('end');
    }
}
