<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;

/**
 * Sends an invoice to the tax office; here it only records what it was given.
 */
class SubmitEInvoiceJob implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;

    public $tries = 3;

    public $backoff = [60, 300, 900];

    public $timeout = 120;

    protected int $eInvoiceId;

    protected ?int $userId;

    protected array $options;

    public function __construct(int $eInvoiceId, ?int $userId = null, array $options = [])
    {
        $this->eInvoiceId = $eInvoiceId;
        $this->userId = $userId;
        $this->options = $options;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['data' => [
            'eInvoiceId' => $this->eInvoiceId,
            'userId' => $this->userId,
            'options' => $this->options,
        ]]);
    }
}
