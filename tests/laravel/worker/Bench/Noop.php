<?php

namespace Worker\Bench;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldBeUnique;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/**
 * A class that the worker runs, but unique: whoever ends it must free its lock.
 */
class Noop implements ShouldBeUnique, ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public $uniqueFor = 3600;

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class);
    }
}
