<?php

namespace App\Handlers;

use App\Support\Journal;
use Illuminate\Contracts\Queue\Job;

/**
 * What Laravel calls a string job: `App\Handlers\Legacy@fire` with plain JSON data.
 */
class Legacy
{
    public function fire(Job $job, $data): void
    {
        Journal::record('ran', $job, static::class, ['data' => $data]);
        $job->delete();
    }
}
