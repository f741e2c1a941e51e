<?php

namespace App\Scenarios;

/**
 * A group of scenarios: each method dispatches one, onto the queue of its name.
 */
abstract class Scenario
{
    /** @var string the scenario's name, and its queue */
    protected $name;

    public function __construct(string $name)
    {
        $this->name = $name;
    }

    protected function task(string ...$script): Task
    {
        return new Task($this->name, ...$script);
    }
}
