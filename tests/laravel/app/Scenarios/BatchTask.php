<?php

namespace App\Scenarios;

use Illuminate\Bus\Batchable;

/**
 * A job of a batch. Whether its batch goes on is its own question, as always in this version.
 */
class BatchTask extends Task
{
    use Batchable;

    public function handle(): void
    {
        $batch = $this->batch();
        Notes::write('batch', $this->scenario, ['pending' => $batch->pendingJobs, 'cancelled' => $batch->cancelled()]);
        if (! $batch->cancelled()) {
            parent::handle();
        }
    }

    /**
     * Another job of the same batch.
     */
    protected function actAdd(): void
    {
        $this->batch()->add([new self($this->scenario)]);
    }
}
