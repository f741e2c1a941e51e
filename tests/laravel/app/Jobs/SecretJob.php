<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldBeEncrypted;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/**
 * Its command is encrypted in the queue.
 */
class SecretJob implements ShouldBeEncrypted, ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    public string $secret;

    public function __construct(string $secret = '')
    {
        $this->secret = $secret;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['data' => ['secret' => $this->secret]]);
    }
}
