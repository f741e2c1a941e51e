<?php

namespace App\Jobs;

use Illuminate\Bus\Batchable;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Database\Events\TransactionCommitted;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\Events\JobQueued;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Support\Facades\Event;
use RuntimeException;
use Worker\Demo\WritesLines;

/**
 * A member of a batch, or a link of a chain, that keeps the journal of the fault tests and throws on its first `times`
 * attempts. With a name it also writes, into a file beside the journal, which of its group it is.
 *
 * On its first attempt it kills its process when the framework has done what `diesAt` names: counted it in its batch, or
 * dispatched the next link of its chain. That leaves the line `died`.
 */
class UnsteadyJob implements ShouldQueue
{
    use Batchable;
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use WritesLines;

    private const STEPS = ['counted' => TransactionCommitted::class, 'chained' => JobQueued::class];

    public $tries = 30;

    public string $group;

    public int $n;

    public int $sleepMs;

    public int $times = 0;

    public string $diesAt = '';

    public function __construct(string $journal, string $group, int $n, int $sleepMs)
    {
        $this->journal = $journal;
        $this->group = $group;
        $this->n = $n;
        $this->sleepMs = $sleepMs;
    }

    public function handle(): void
    {
        if ($this->group !== '') {
            $line = "{$this->job->uuid()} {$this->group} {$this->n}\n";
            file_put_contents("{$this->journal}.links", $line, FILE_APPEND | LOCK_EX);
        }
        $this->note('start');
        usleep($this->sleepMs * 1000);
        if ($this->attempts() <= $this->times) {
            $this->note('released');
            throw new RuntimeException('The job is not ready yet');
        }
        $this->note('end');
        if ($this->diesAt !== '' && $this->attempts() === 1) {
            Event::listen(self::STEPS[$this->diesAt], function (object $event): void {
                $inside = $event instanceof TransactionCommitted && $event->connection->transactionLevel() > 0;
                if (! $inside) {
                    $this->note('died');
                    posix_kill(getmypid(), SIGKILL);
                }
            });
        }
    }
}
