<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;

/**
 * Reads one attached bill; here it only records what it was given.
 */
class ParseInvoicePdfJob implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;

    public $tries = 3;

    public $backoff = [30, 120, 300];

    public int $companyId;

    public string $filePath;

    public string $originalName;

    public string $from;

    public ?string $subject;

    public string $contentType;

    public function __construct(
        int $companyId,
        string $filePath,
        string $originalName,
        string $from,
        ?string $subject,
        string $contentType
    ) {
        $this->companyId = $companyId;
        $this->filePath = $filePath;
        $this->originalName = $originalName;
        $this->from = $from;
        $this->subject = $subject;
        $this->contentType = $contentType;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['data' => [
            'companyId' => $this->companyId,
            'filePath' => $this->filePath,
            'originalName' => $this->originalName,
            'from' => $this->from,
            'subject' => $this->subject,
            'contentType' => $this->contentType,
        ]]);
    }
}
