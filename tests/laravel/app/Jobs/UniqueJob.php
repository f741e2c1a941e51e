<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldBeUnique;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/**
 * At most one per company waits or runs.
 */
class UniqueJob implements ShouldBeUnique, ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public $uniqueFor = 3600;

    public int $companyId;

    public function __construct(int $companyId = 0)
    {
        $this->companyId = $companyId;
    }

    public function uniqueId(): string
    {
        return (string) $this->companyId;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['data' => ['companyId' => $this->companyId]]);
    }
}
