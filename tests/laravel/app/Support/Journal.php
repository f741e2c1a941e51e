<?php

namespace App\Support;

use Illuminate\Contracts\Queue\Job;

/**
 * What ran, one JSON object per line, in the file that the variable JOURNAL names.
 */
class Journal
{
    /**
     * Appends one record about a queued job; `$extra` overrides and adds members.
     */
    public static function record(string $event, ?Job $job, string $class, array $extra = []): void
    {
        $now = microtime(true);
        self::append(array_merge([
            'event' => $event,
            'job' => $class,
            'uuid' => $job ? $job->uuid() : null,
            'queue' => $job ? $job->getQueue() : null,
            'attempts' => $job ? $job->attempts() : null,
            'start' => $now,
            'end' => $now,
            'pid' => getmypid(),
        ], $extra));
    }

    private static function append(array $record): void
    {
        $file = getenv('JOURNAL');
        if ($file !== false) {
            $line = json_encode($record, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR)."\n";
            file_put_contents($file, $line, FILE_APPEND | LOCK_EX);
        }
    }
}
