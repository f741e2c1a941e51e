<?php

namespace App\Scenarios\Catalog;

use App\Scenarios\BatchTask;
use App\Scenarios\Scenario;
use App\Scenarios\UniqueTask;
use Illuminate\Support\Facades\Bus;

/**
 * Attempts that are ended: by their time limit, or by their process.
 */
class Ends extends Scenario
{
    public function timeout(): void
    {
        dispatch($this->task('sleep 30')->with(['timeout' => 1]));
    }

    public function timeoutByFlag(): void
    {
        dispatch($this->task('sleep 30')->with(['tries' => 1]));
    }

    public function timeoutFails(): void
    {
        dispatch($this->task('sleep 30')->with(['tries' => 3, 'timeout' => 1, 'failOnTimeout' => true]));
    }

    public function timeoutMaxExceptions(): void
    {
        dispatch($this->task('sleep 30')->with(['tries' => 3, 'timeout' => 1, 'maxExceptions' => 1]));
    }

    public function timeoutWithTriesLeft(): void
    {
        dispatch($this->task('sleep 30', 'ok')->with(['tries' => 2, 'timeout' => 1, 'backoff' => 60]));
    }

    public function timeoutOfUnique(): void
    {
        dispatch((new UniqueTask($this->name, 'sleep 30'))->with(['timeout' => 1]));
    }

    public function timeoutInBatch(): void
    {
        $task = (new BatchTask($this->name, 'sleep 30'))->with(['timeout' => 1]);
        Bus::batch([$task])->name($this->name)->onQueue($this->name)->dispatch();
    }

    public function exits(): void
    {
        dispatch($this->task('exit 3', 'ok')->with(['tries' => 2]));
    }

    public function exitsOnLastTry(): void
    {
        dispatch($this->task('exit 0'));
    }

    public function fatal(): void
    {
        dispatch($this->task('fatal', 'ok')->with(['tries' => 2]));
    }

    public function killed(): void
    {
        dispatch($this->task('kill 9', 'ok')->with(['tries' => 2]));
    }
}
