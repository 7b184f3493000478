package androidx.activity.result

import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia.VisualMediaType

fun interface ActivityResultCallback<O> {
    fun onActivityResult(result: O)
}

abstract class ActivityResultLauncher<I> {
    fun launch(input: I) {}
}

class PickVisualMediaRequest

fun PickVisualMediaRequest(
    mediaType: VisualMediaType = PickVisualMedia.ImageOnly,
): PickVisualMediaRequest = TODO()
