<?php

namespace App\Scenarios;

use Illuminate\Contracts\Queue\ShouldBeUnique;

/**
 * At most one per scenario waits or runs.
 */
class UniqueTask extends Task implements ShouldBeUnique
{
    public $uniqueFor = 3600;

    public function uniqueId(): string
    {
        return ':'.$this->scenario;
    }
}
