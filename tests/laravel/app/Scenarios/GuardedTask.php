<?php

namespace App\Scenarios;

use App\Middleware\Noted;
use Illuminate\Queue\Middleware\RateLimited;
use Illuminate\Queue\Middleware\ThrottlesExceptions;
use Illuminate\Queue\Middleware\WithoutOverlapping;

/**
 * A job behind middleware, which its property `guards` names.
 */
class GuardedTask extends Task
{
    public $guards = [];

    public function middleware(): array
    {
        $all = [
            'noted' => Noted::class,
            'skip' => Forms\Skips::class,
            'overlap' => (new WithoutOverlapping($this->scenario))->releaseAfter(60)->expireAfter(600),
            'overlap or drop' => (new WithoutOverlapping($this->scenario))->dontRelease(),
            'limited' => new RateLimited('scenario'),
            'limited or drop' => (new RateLimited('scenario'))->dontRelease(),
            'throttles' => (new ThrottlesExceptions(1, 10))->by($this->scenario)->backoff(5),
        ];

        return array_map(static function (string $guard) use ($all) {
            return is_string($all[$guard]) ? app($all[$guard]) : $all[$guard];
        }, $this->guards);
    }
}
