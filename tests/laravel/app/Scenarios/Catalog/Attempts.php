<?php

namespace App\Scenarios\Catalog;

use App\Scenarios\Scenario;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Queue;

/**
 * How often, and when again.
 */
class Attempts extends Scenario
{
    public function success(): void
    {
        dispatch($this->task('ok'));
    }

    public function throws(): void
    {
        dispatch($this->task('throw'));
    }

    public function throwsNested(): void
    {
        dispatch($this->task('throw nested'));
    }

    public function throwsError(): void
    {
        dispatch($this->task('throw error'));
    }

    public function backoffNone(): void
    {
        dispatch($this->task('throw', 'throw', 'ok')->with(['tries' => 3]));
    }

    public function backoffInt(): void
    {
        dispatch($this->task('throw')->with(['tries' => 3, 'backoff' => 60]));
    }

    public function backoffList(): void
    {
        dispatch($this->task('throw')->with(['tries' => 4, 'backoff' => [60, 300]]));
    }

    public function triesZero(): void
    {
        dispatch($this->task('throw', 'throw', 'ok')->with(['tries' => 0]));
    }

    public function flagsDecide(): void
    {
        dispatch($this->task('throw'));
    }

    public function payloadDecides(): void
    {
        dispatch($this->task('throw')->with(['tries' => 2, 'backoff' => 600]));
    }

    public function delayedThrows(): void
    {
        dispatch($this->task('throw')->delay(600));
    }

    public function retryUntilFuture(): void
    {
        $until = time() + 7200;
        dispatch($this->task('throw', 'throw', 'ok')->with(['tries' => 1, 'backoff' => 60, 'retryUntil' => $until]));
    }

    public function retryUntilPast(): void
    {
        dispatch($this->task('ok')->with(['tries' => 9, 'retryUntil' => time() - 60]));
    }

    public function maxExceptionsOne(): void
    {
        dispatch($this->task('throw')->with(['tries' => 9, 'maxExceptions' => 1]));
    }

    public function maxExceptionsTwo(): void
    {
        dispatch($this->task('throw')->with(['tries' => 9, 'maxExceptions' => 2, 'backoff' => 60]));
    }

    public function maxExceptionsReleases(): void
    {
        $script = ['release 60', 'throw', 'release 60', 'throw'];
        dispatch($this->task(...$script)->with(['tries' => 9, 'maxExceptions' => 2]));
    }

    public function maxExceptionsSuccess(): void
    {
        dispatch($this->task('throw', 'ok')->with(['tries' => 9, 'maxExceptions' => 2]));
    }

    /**
     * Reserved more often than it may be, as after crashes of workers.
     */
    public function exhausted(): void
    {
        $queue = Queue::connection();
        $queue->push($this->task('ok')->with(['tries' => 3]), '', $this->name);
        $job = $queue->pop($this->name);
        $payload = $job->payload();
        $job->delete();
        if (isset($payload['attempts'])) {
            $queue->pushRaw(json_encode(['attempts' => 5] + $payload), $this->name);
        } else {
            $queue->pushRaw($job->getRawBody(), $this->name);
            DB::table('jobs')->where('queue', $this->name)->update(['attempts' => 5]);
        }
    }
}
