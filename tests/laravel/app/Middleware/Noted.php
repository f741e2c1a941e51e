<?php

namespace App\Middleware;

use App\Support\Journal;
use Closure;

/**
 * Records that a job went through it.
 */
class Noted
{
    public function handle(object $job, Closure $next)
    {
        Journal::record('through', $job->job, get_class($job));

        return $next($job);
    }
}
