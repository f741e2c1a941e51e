<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;

/**
 * Delivers a webhook; here it only records what it was given. Encrypted when `secret` says so.
 */
class DeliverWebhook implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;

    public bool $shouldBeEncrypted;

    protected string $url;

    protected array $payload;

    private array $headers;

    protected int $timeoutSeconds;

    public function __construct(
        string $url,
        array $payload = [],
        array $headers = [],
        int $timeoutSeconds = 10,
        bool $secret = false
    ) {
        $this->url = $url;
        $this->payload = $payload;
        $this->headers = $headers;
        $this->timeoutSeconds = $timeoutSeconds;
        $this->shouldBeEncrypted = $secret;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['data' => [
            'url' => $this->url,
            'payload' => $this->payload,
            'headers' => $this->headers,
        ]]);
    }
}
