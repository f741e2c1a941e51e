<?php

namespace App\Scenarios\Catalog;

use App\Scenarios\MeddlingTask;
use App\Scenarios\Scenario;
use App\Scenarios\Task;
use Illuminate\Support\Facades\Queue;

/**
 * What jobs do to the process around them, and payloads that no dispatch makes.
 */
class Inside extends Scenario
{
    public function dispatches(): void
    {
        dispatch($this->task('dispatch ok, dispatch throw'));
    }

    public function dispatchesThenThrows(): void
    {
        dispatch($this->task('dispatch ok, throw'));
    }

    public function dispatchesElsewhere(): void
    {
        dispatch($this->task('elsewhere '.$this->name.'.other'));
    }

    public function dispatchesLater(): void
    {
        dispatch($this->task('later 600'));
    }

    public function afterCommit(): void
    {
        dispatch($this->task('commit'));
    }

    public function inline(): void
    {
        dispatch($this->task('inline ok'));
    }

    public function inlineThrows(): void
    {
        dispatch($this->task('inline throw'));
    }

    public function now(): void
    {
        dispatch($this->task('now ok'));
    }

    public function prints(): void
    {
        dispatch($this->task('print some text'));
    }

    public function jobClass(): void
    {
        dispatch($this->task('class'));
    }

    public function meddles(): void
    {
        dispatch(new MeddlingTask($this->name));
        dispatch(new MeddlingTask($this->name));
    }

    public function unknownClass(): void
    {
        $command = serialize($this->task());
        $gone = str_replace('O:'.strlen(Task::class).':"'.Task::class, 'O:8:"App\Gone', $command);
        $this->raw(['commandName' => 'App\Gone', 'command' => $gone]);
    }

    public function corruptCommand(): void
    {
        $this->raw(['commandName' => Task::class, 'command' => substr(serialize($this->task()), 0, 40)]);
    }

    public function unknownHandler(): void
    {
        $this->raw(['a' => 1], 'App\Gone@handle');
    }

    private function raw(array $data, string $job = 'Illuminate\Queue\CallQueuedHandler@call'): void
    {
        $payload = [
            'uuid' => '3f1d2c4b-0000-4000-8000-'.substr(md5($this->name), 0, 12),
            'displayName' => $data['commandName'] ?? $job,
            'job' => $job,
            'maxTries' => 2,
            'maxExceptions' => null,
            'failOnTimeout' => false,
            'backoff' => null,
            'timeout' => null,
            'data' => $data,
        ];
        if (config('queue.default') === 'redis') {
            $payload += ['id' => 'id-of-'.$this->name, 'attempts' => 0];
        }
        Queue::pushRaw(json_encode($payload), $this->name);
    }
}
