<?php

namespace App\Scenarios\Catalog;

use App\Scenarios\Scenario;
use App\Scenarios\UntoldTask;

/**
 * What a job decides about itself.
 */
class Verdicts extends Scenario
{
    public function releases(): void
    {
        dispatch($this->task('release 0', 'ok')->with(['tries' => 2]));
    }

    public function releasesOnLastTry(): void
    {
        dispatch($this->task('release 0', 'ok'));
    }

    public function releasesLater(): void
    {
        dispatch($this->task('release 300', 'ok')->with(['tries' => 2, 'backoff' => 60]));
    }

    public function releasesTwice(): void
    {
        dispatch($this->task('release 60, release 300', 'ok')->with(['tries' => 2]));
    }

    public function releasesThenThrows(): void
    {
        dispatch($this->task('release 300, throw', 'ok')->with(['tries' => 2, 'backoff' => 60]));
    }

    public function releasesThenThrowsOnLastTry(): void
    {
        dispatch($this->task('release 300, throw'));
    }

    public function releasesAfterException(): void
    {
        dispatch($this->task('throw', 'release 300', 'throw', 'ok')->with(['tries' => 4, 'backoff' => 60]));
    }

    public function deletes(): void
    {
        dispatch($this->task('delete')->with(['tries' => 3]));
    }

    public function deletesThenThrows(): void
    {
        dispatch($this->task('delete, throw')->with(['tries' => 3]));
    }

    public function deletesThenThrowsOnLastTry(): void
    {
        dispatch($this->task('delete, throw'));
    }

    public function deletesThenReleases(): void
    {
        dispatch($this->task('delete, release 60', 'ok')->with(['tries' => 3]));
    }

    public function fails(): void
    {
        dispatch($this->task('fail')->with(['tries' => 3]));
    }

    public function failsWith(): void
    {
        dispatch($this->task('fail with')->with(['tries' => 3]));
    }

    public function failsThenThrows(): void
    {
        dispatch($this->task('fail with, throw')->with(['tries' => 3]));
    }

    public function failsThenReleases(): void
    {
        dispatch($this->task('fail with, release 60', 'ok')->with(['tries' => 3]));
    }

    public function failsTwice(): void
    {
        dispatch($this->task('fail with, fail')->with(['tries' => 3]));
    }

    public function failedThrows(): void
    {
        dispatch(new UntoldTask($this->name, 'throw'));
    }

    public function failsAndFailedThrows(): void
    {
        dispatch((new UntoldTask($this->name, 'fail with'))->with(['tries' => 3]));
    }
}
