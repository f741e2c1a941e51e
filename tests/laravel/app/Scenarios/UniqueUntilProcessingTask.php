<?php

namespace App\Scenarios;

use Illuminate\Contracts\Queue\ShouldBeUniqueUntilProcessing;

/**
 * At most one per scenario waits; its lock has no end of its own.
 */
class UniqueUntilProcessingTask extends Task implements ShouldBeUniqueUntilProcessing
{
    public function uniqueId(): string
    {
        return ':'.$this->scenario;
    }
}
