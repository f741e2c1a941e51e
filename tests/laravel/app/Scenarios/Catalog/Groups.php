<?php

namespace App\Scenarios\Catalog;

use App\Scenarios\BatchTask;
use App\Scenarios\Notes;
use App\Scenarios\Scenario;
use Illuminate\Bus\Batch;
use Illuminate\Bus\PendingBatch;
use Illuminate\Support\Facades\Bus;
use Throwable;

/**
 * Chains and batches.
 */
class Groups extends Scenario
{
    public function chain(): void
    {
        $this->dispatchChain('ok');
    }

    public function chainBreaks(): void
    {
        $this->dispatchChain('throw');
    }

    public function chainFails(): void
    {
        $this->dispatchChain('fail with');
    }

    public function chainReleases(): void
    {
        $this->dispatchChain('release 60');
    }

    public function chainDeletes(): void
    {
        $this->dispatchChain('delete');
    }

    public function batch(): void
    {
        $this->batchOf('ok', 'ok')->dispatch();
    }

    public function batchFails(): void
    {
        $this->batchOf('ok', 'throw', 'ok')->dispatch();
    }

    public function batchAllowsFailures(): void
    {
        $this->batchOf('ok', 'throw', 'fail with', 'ok')->allowFailures()->dispatch();
    }

    public function batchCancelled(): void
    {
        $this->batchOf('cancel', 'ok')->dispatch();
    }

    public function batchReleases(): void
    {
        $this->batchOf('release 60', 'ok')->dispatch();
    }

    public function batchAdds(): void
    {
        $this->batchOf('add', 'ok')->dispatch();
    }

    public function batchOfChains(): void
    {
        $chain = [new BatchTask($this->name), new BatchTask($this->name, 'throw'), new BatchTask($this->name)];
        $this->told(Bus::batch([$chain, new BatchTask($this->name)]))->dispatch();
    }

    private function dispatchChain(string $middle): void
    {
        $name = $this->name;
        $second = $this->task($middle, 'ok')->with(['tries' => $middle === 'throw' ? 1 : 2]);
        Bus::chain([$this->task(), $second, $this->task()])
            ->onQueue($name)
            ->catch(static function (Throwable $reason) use ($name): void {
                Notes::write('chain caught', $name, Notes::reason($reason));
            })
            ->dispatch();
    }

    private function batchOf(string ...$scripts): PendingBatch
    {
        return $this->told(Bus::batch(array_map(function (string $script): BatchTask {
            return (new BatchTask($this->name, $script, 'ok'))->with(['tries' => $script === 'release 60' ? 2 : 1]);
        }, $scripts)));
    }

    private function told(PendingBatch $batch): PendingBatch
    {
        $name = $this->name;
        $note = static function (string $event, Batch $batch, ?Throwable $reason = null) use ($name): void {
            $counts = [$batch->totalJobs, $batch->pendingJobs, $batch->failedJobs];
            Notes::write($event, $name, ['counts' => $counts, 'cancelled' => $batch->cancelled()] + Notes::reason($reason));
        };

        return $batch->name($name)->onQueue($name)
            ->then(static function (Batch $batch) use ($note): void {
                $note('batch then', $batch);
            })
            ->catch(static function (Batch $batch, Throwable $reason) use ($note): void {
                $note('batch caught', $batch, $reason);
            })
            ->finally(static function (Batch $batch) use ($note): void {
                $note('batch finally', $batch);
            });
    }
}
