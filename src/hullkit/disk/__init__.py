"""What firmware and disks are made of, written in Python: dm-verity, GPT, FAT, ISO 9660, EFI programs."""
