<?php

namespace App\Scenarios\Forms;

/**
 * An event that queued listeners hear.
 */
class Happened
{
    public $what;

    public function __construct(string $what)
    {
        $this->what = $what;
    }
}
