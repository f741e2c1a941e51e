<?php

namespace App\Scenarios;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Throwable;

/**
 * A job that does what its script says: one string per attempt, acts separated by commas. Later attempts
 * do what the last string says. Its properties are set by the scenario that dispatches it.
 */
class Task implements ShouldQueue
{
    use Acts;
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public $tries;

    public $backoff;

    public $timeout;

    public $maxExceptions;

    public $failOnTimeout;

    public $retryUntil;

    public $scenario;

    public $script;

    public function __construct(string $scenario, string ...$script)
    {
        $this->scenario = $scenario;
        $this->script = $script === [] ? ['ok'] : $script;
        $this->onQueue($scenario);
    }

    /**
     * @return static
     */
    public function with(array $properties): self
    {
        foreach ($properties as $name => $value) {
            $this->{$name} = $value;
        }

        return $this;
    }

    public function handle(): void
    {
        Notes::ran($this);
        $this->act($this->script[min($this->attempts(), count($this->script)) - 1]);
    }

    public function failed(?Throwable $reason): void
    {
        Notes::failed($this, $reason);
    }
}
