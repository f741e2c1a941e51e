<?php

namespace App\Scenarios\Forms;

use App\Scenarios\Notes;
use App\Support\Journal;
use Illuminate\Contracts\Queue\Job;
use RuntimeException;
use Throwable;

/**
 * Handlers of string jobs.
 */
class Stringy
{
    public function fire(Job $job, $data): void
    {
        Journal::record('ran', $job, static::class, ['data' => $data]);
        $job->delete();
    }

    /**
     * Ends without a verdict of its own.
     */
    public function forget(Job $job, $data): void
    {
        Journal::record('ran', $job, static::class, ['data' => $data]);
    }

    public function break(Job $job, $data): void
    {
        Journal::record('ran', $job, static::class, ['data' => $data]);
        throw new RuntimeException('a string job throws');
    }

    public function failed($data, Throwable $reason, string $uuid): void
    {
        Notes::write('string failed', $data['scenario'], ['uuid' => strlen($uuid)] + Notes::reason($reason));
    }
}
