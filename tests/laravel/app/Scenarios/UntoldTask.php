<?php

namespace App\Scenarios;

use LogicException;
use Throwable;

/**
 * Its `failed` throws.
 */
class UntoldTask extends Task
{
    public function failed(?Throwable $reason): void
    {
        parent::failed($reason);
        throw new LogicException("{$this->scenario} throws again");
    }
}
