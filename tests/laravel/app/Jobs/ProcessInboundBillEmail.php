<?php

namespace App\Jobs;

use App\Support\Journal;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;

/**
 * An e-mail with bills came in: one job for each attachment, in order.
 */
class ProcessInboundBillEmail implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;

    public int $companyId;

    public string $from;

    public ?string $subject;

    public array $attachments;

    public function __construct(int $companyId, string $from, ?string $subject, array $attachments)
    {
        $this->companyId = $companyId;
        $this->from = $from;
        $this->subject = $subject;
        $this->attachments = $attachments;
    }

    public function handle(): void
    {
        Journal::record('ran', $this->job, static::class, ['data' => [
            'companyId' => $this->companyId,
            'from' => $this->from,
            'subject' => $this->subject,
            'attachments' => $this->attachments,
        ]]);
        foreach ($this->attachments as $attachment) {
            ParseInvoicePdfJob::dispatch(
                $this->companyId,
                $attachment['path'],
                $attachment['original_name'],
                $this->from,
                $this->subject,
                $attachment['content_type']
            );
        }
    }
}
