<?php

namespace Worker\Demo;

/**
 * Appends `event uuid attempt queue pid milliseconds` to the file that the property `journal` names, as the worker's
 * own samples do, so that both sides write into one file.
 */
trait WritesLines
{
    private ?string $journal = null;

    private function note(string $event): void
    {
        if ($this->journal !== null) {
            $now = (int) (microtime(true) * 1000);
            $line = [$event, $this->job->uuid(), $this->attempts(), $this->job->getQueue(), getmypid(), $now];
            file_put_contents($this->journal, implode(' ', $line)."\n", FILE_APPEND | LOCK_EX);
        }
    }
}
