<?php

namespace Worker\Demo;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/**
 * Always fails under the worker; here it has been mended.
 */
class Broken implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    protected string $tag;

    public function __construct(string $tag = '')
    {
        $this->tag = $tag;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['tag' => $this->tag]);
    }
}
