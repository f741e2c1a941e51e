<?php

namespace App\Scenarios;

use App\Support\Journal;
use Illuminate\Contracts\Queue\Job;
use Throwable;

/**
 * What scenarios write into the journal.
 */
class Notes
{
    /** @var Job|null the job that the worker processes */
    public static $current;

    public static function write(string $event, string $scenario, array $data = []): void
    {
        Journal::record($event, null, 'none', ['tag' => $scenario, 'data' => $data]);
    }

    public static function event(string $event, Job $job, array $data = []): void
    {
        Journal::record($event, $job, $job->resolveName(), ['data' => $data + self::state($job)]);
    }

    /**
     * A handler, and all that it sees of its job.
     */
    public static function ran(object $command): void
    {
        $job = $command->job ?? null;
        Journal::record('ran', $job, get_class($command), [
            'tag' => $command->scenario ?? '',
            'data' => self::sight($job) + [
                'attempts()' => $command->attempts(),
                'onQueue' => $command->queue ?? null,
                'onConnection' => $command->connection ?? null,
                'chained' => count($command->chained ?? []),
            ],
        ]);
    }

    public static function failed(object $command, ?Throwable $reason): void
    {
        $job = $command->job ?? null;
        Journal::record('failed()', $job, get_class($command), [
            'tag' => $command->scenario ?? '',
            'data' => ['job' => $job !== null] + self::reason($reason),
        ]);
    }

    /**
     * A database says the whole statement with all its values: what follows is left out.
     */
    public static function reason(?Throwable $reason): array
    {
        return [
            'class' => $reason === null ? null : get_class($reason),
            'message' => $reason === null ? null : explode(' (SQL:', $reason->getMessage())[0],
        ];
    }

    public static function state(Job $job): array
    {
        return [
            'deleted' => $job->isDeleted(),
            'released' => $job->isReleased(),
            'failed' => $job->hasFailed(),
        ];
    }

    private static function sight(?Job $job): array
    {
        $payload = $job === null ? [] : $job->payload();
        // What runs by `dispatchNow` has a job without a payload.
        if (! isset($payload['job'])) {
            return ['job' => $job !== null];
        }

        return self::state($job) + [
            'connection' => $job->getConnectionName(),
            'name' => $job->getName(),
            'resolveName' => $job->resolveName(),
            'maxTries' => $job->maxTries(),
            'maxExceptions' => $job->maxExceptions(),
            'backoff' => $job->backoff(),
            'timeout' => $job->timeout(),
            'until' => $job->retryUntil() === null ? null : round(($job->retryUntil() - time()) / 3600),
            'shouldFailOnTimeout' => $job->shouldFailOnTimeout(),
            'id' => self::id($job),
            'counted' => $payload['attempts'] ?? null,
            'members' => count($payload),
            'raw' => json_decode($job->getRawBody(), true) === $payload,
            'container' => $job->getContainer() === app(),
            'console' => app()->runningInConsole(),
            'down' => app()->isDownForMaintenance(),
        ];
    }

    /**
     * Redis names a job by its payload's id, SQL by the row's number.
     */
    private static function id(Job $job): string
    {
        $id = $job->getJobId();

        return is_int($id) || ctype_digit($id) ? 'number' : ($id === ($job->payload()['id'] ?? null) ? 'own' : 'other');
    }
}
