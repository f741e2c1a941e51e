<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use RuntimeException;
use Throwable;

/**
 * Fails on its first `times` attempts, and then succeeds. Records each run, and its final failure.
 */
class FailingJob implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public string $tag;

    public int $n;

    public int $times;

    public function __construct(string $tag = '', int $n = 0, int $times = PHP_INT_MAX)
    {
        $this->tag = $tag;
        $this->n = $n;
        $this->times = $times;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['tag' => $this->tag, 'n' => $this->n]);
        if ($this->attempts() <= $this->times) {
            throw new RuntimeException('The job fails as it was told: '.$this->tag);
        }
    }

    public function failed(Throwable $reason): void
    {
        Journal::record('failed', $this->job, static::class, [
            'tag' => $this->tag,
            'n' => $this->n,
            'data' => ['class' => get_class($reason), 'message' => $reason->getMessage()],
        ]);
    }
}
