<?php

namespace App\Scenarios\Catalog;

use App\Middleware\Noted;
use App\Scenarios\GuardedTask;
use App\Scenarios\Scenario;
use App\Scenarios\UniqueTask;
use App\Scenarios\UniqueUntilProcessingTask;
use Illuminate\Support\Facades\Cache;

/**
 * Locks and middleware.
 */
class Guards extends Scenario
{
    public function unique(): void
    {
        dispatch(new UniqueTask($this->name));
        dispatch(new UniqueTask($this->name));
    }

    public function uniqueFails(): void
    {
        dispatch(new UniqueTask($this->name, 'throw'));
    }

    public function uniqueRetries(): void
    {
        dispatch((new UniqueTask($this->name, 'throw', 'ok'))->with(['tries' => 2, 'backoff' => 60]));
    }

    public function uniqueReleases(): void
    {
        dispatch((new UniqueTask($this->name, 'release 60', 'ok'))->with(['tries' => 2]));
    }

    public function uniqueDispatchesAnother(): void
    {
        dispatch(new UniqueTask($this->name, 'dispatch ok'));
    }

    public function uniqueDeletes(): void
    {
        dispatch(new UniqueTask($this->name, 'delete'));
    }

    public function untilProcessing(): void
    {
        dispatch(new UniqueUntilProcessingTask($this->name, 'dispatch ok'));
        dispatch(new UniqueUntilProcessingTask($this->name, 'dispatch ok'));
    }

    public function untilProcessingFails(): void
    {
        dispatch(new UniqueUntilProcessingTask($this->name, 'dispatch ok, throw'));
    }

    public function overlaps(): void
    {
        $this->hold(60);
        dispatch($this->guarded(['overlap'], 'ok'));
    }

    public function overlapsOrDrops(): void
    {
        $this->hold(60);
        dispatch($this->guarded(['overlap or drop'], 'ok'));
    }

    public function overlapsNot(): void
    {
        dispatch($this->guarded(['overlap'], 'ok'));
        dispatch($this->guarded(['overlap'], 'throw'));
        dispatch($this->guarded(['overlap'], 'release 60'));
    }

    public function overlapTimeout(): void
    {
        dispatch($this->guarded(['overlap'], 'sleep 30', 'ok')->with(['timeout' => 1, 'tries' => 3]));
    }

    public function limited(): void
    {
        dispatch($this->guarded(['limited'], 'ok'));
        dispatch($this->guarded(['limited'], 'ok'));
    }

    public function limitedOrDropped(): void
    {
        dispatch($this->guarded(['limited or drop'], 'ok'));
        dispatch($this->guarded(['limited or drop'], 'ok'));
    }

    public function throttles(): void
    {
        dispatch($this->guarded(['throttles'], 'throw'));
        dispatch($this->guarded(['throttles'], 'ok'));
    }

    public function throttlesNot(): void
    {
        dispatch($this->guarded(['throttles'], 'ok'));
    }

    public function skips(): void
    {
        dispatch($this->guarded(['noted', 'skip'], 'ok'));
    }

    public function goesThrough(): void
    {
        dispatch($this->task()->through([new Noted()]));
    }

    private function guarded(array $guards, string ...$script): GuardedTask
    {
        return (new GuardedTask($this->name, ...$script))->with(['guards' => $guards, 'tries' => 2]);
    }

    /**
     * Takes the lock that this scenario's jobs need.
     */
    private function hold(int $seconds): void
    {
        $lock = 'laravel-queue-overlap:'.GuardedTask::class.':'.$this->name;
        Cache::lock($lock, 60 * $seconds)->get();
    }
}
