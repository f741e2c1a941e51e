<?php

namespace App\Scenarios\Forms;

use Closure;

/**
 * Middleware that lets nothing through.
 */
class Skips
{
    public function handle(object $job, Closure $next): void
    {
    }
}
