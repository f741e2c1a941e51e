<?php

namespace App\Scenarios;

/**
 * The same, deleted when its model is gone.
 */
class ForgettingTask extends RememberingTask
{
    public $deleteWhenMissingModels = true;
}
