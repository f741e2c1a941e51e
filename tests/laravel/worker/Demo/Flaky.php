<?php

namespace Worker\Demo;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use RuntimeException;

/**
 * The PHP side of the worker's sample of the same name: fails on its first attempts.
 */
class Flaky implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public $tries = 3;

    public $backoff = [1, 50];

    protected int $failures;

    public function __construct(int $failures = 1)
    {
        $this->failures = $failures;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['data' => ['failures' => $this->failures]]);
        if ($this->attempts() <= $this->failures) {
            throw new RuntimeException('The service did not answer');
        }
    }
}
